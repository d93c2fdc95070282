# `make demo` shows the product, `make test` checks it. Everything runs from the checkout; what is fetched goes into the
# folder that scripts/cache-dir prints.
.PHONY: help setup web build test demo demo-stop bench

help:
	@echo "make setup   install what tests and benches need (safe to run again)"
	@echo "make web     build the web UI, which the next build takes into the binary"
	@echo "make build   build target/release/pgkeep with its web UI"
	@echo "make test    set-up, then the whole CI"
	@echo "make demo    build pgkeep, watch it back up, lose, restore and prove a database, and leave its server running"
	@echo "make demo-stop   end and remove what the demonstration left running"
	@echo "make bench   compare speed and memory with other tools"

setup:
	scripts/setup

web:
	cargo xtask web

build: web
	cargo build --release --locked -p pgkeep

test: setup
	cargo xtask ci

demo:
	scripts/setup demo
	$(MAKE) --no-print-directory build
	scripts/demo

demo-stop:
	scripts/demo stop

bench: setup
	cargo xtask bench
