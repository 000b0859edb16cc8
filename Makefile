# make demo   sets everything up and opens the page
# make test   sets everything up and runs every test
# make check  lint, format and types
# make train  trains from drawn pictures for MINUTES, and goes on where an earlier call was stopped

PYTHON ?= python3
MINUTES ?= 60
OUTPUT ?= runs/captcha

.PHONY: demo test check train
demo: .venv/ready
	.venv/bin/python app.py

test: .venv/ready-dev
	.venv/bin/python -m pytest

check: .venv/ready-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

train: .venv/ready
	.venv/bin/python -m crnn train --draw --output $(OUTPUT) --minutes $(MINUTES) \
		$(if $(wildcard $(OUTPUT)/checkpoint-*),--resume)

# The stamps are older than their files only after those changed, so that a second call starts at once. Python compiles
# what it imports; to compile all that is installed takes as long as to install it.
.venv/ready: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --no-compile --requirement requirements.txt --constraint constraints.txt
	touch $@

.venv/ready-dev: .venv/ready pyproject.toml
	.venv/bin/python -m pip install --quiet --no-compile --editable '.[dev]' --constraint constraints.txt
	touch $@
