.PHONY: run test check fmt bench chaos fuzz lock sbom

run:    ; genesis-bridge demo
test:   ; pytest
check:  ; ruff check . && ruff format --check . && mypy && lint-imports
fmt:    ; ruff check --fix . && ruff format .
bench:  ; python -m tests.bench && python -m tests.bench.clients
chaos:  ; python -m tests.chaos --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)
fuzz:   ; python -m tests.fuzz --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),1)
lock:   ; python tools/lock.py
sbom:   ; mkdir -p dist && cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.json
