.PHONY: run test check fmt bench

run:    ; genesis-bridge demo
test:   ; pytest
check:  ; ruff check . && ruff format --check . && mypy && lint-imports
fmt:    ; ruff check --fix . && ruff format .
bench:  ; python -m tests.bench
