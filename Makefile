.PHONY: run test check fmt bench chaos fuzz

run:    ; genesis-bridge demo
test:   ; pytest
check:  ; ruff check . && ruff format --check . && mypy && lint-imports
fmt:    ; ruff check --fix . && ruff format .
bench:  ; python -m tests.bench && python -m tests.bench.clients
chaos:  ; python -m tests.chaos --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)
fuzz:   ; python -m tests.fuzz --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),1)
