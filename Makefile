# The two commands of a newcomer are `make demo` and `make test`; each does all the set-up it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
IN_ENV := source env.sh &&

.PHONY: help setup build demo test bench lint format docs clean

help:  ## this list
	@grep -hE '^[a-z ]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup build:  ## install what is missing and build the workspace (source env.sh afterwards)
	@scripts/setup.sh

demo: setup  ## dock the simulated robot with the shipped policy; results in out/demo
	@$(IN_ENV) vla demo

test: setup  ## build, run every test through colcon, print the results
	@scripts/test.sh

bench: setup  ## vla bench all, within an hour (ARGS=--quick: ten minutes); results in out/bench
	@$(IN_ENV) vla bench all $(ARGS)

lint: setup  ## ruff, mypy
	@$(IN_ENV) ruff check --quiet . && ruff format --check . && scripts/mypy.sh

format: setup  ## rewrite the sources in the project's format
	@$(IN_ENV) ruff check --fix . ; ruff format .

docs: setup  ## build the documentation as a site, in out/site
	@scripts/docs/build.sh

clean:  ## remove what was built and installed in this tree
	rm -rf build install log out .venv .setup.log .setup.lock
