# `make` without arguments lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run demo kafka test soak picture bench release dist clean fuzz

CARGO ?= cargo

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: ## Build, then serve on 127.0.0.1:8080: topics in ./curlew-data, or the Kafka at $CURLEW_KAFKA (host:port)
	exec $(CARGO) run --release --bin curlew -- serve

demo: ## Serve made-up data of a plant on 127.0.0.1:8080
	exec $(CARGO) run --release --bin curlew -- demo

kafka: ## Run Kafka in the foreground on 127.0.0.1:9092 (KAFKA_VERSION=4.4.0, KAFKA_PORT=9092)
	exec integration/kafka/serve

test: ## Install what the tests need, then run all tests and checks
	exec integration/run-all

soak: ## Run for ten minutes under load (CURLEW_SOAK=600), ten minutes with cluster faults, a minute of the dashboard at 10,000 records/s, then kill the embedded log 100 times (CURLEW_KILLS=100)
	integration/setup
	$(CARGO) build --release --bin curlew
	CURLEW_SOAK=$${CURLEW_SOAK:-600} CURLEW_BIN="$$PWD/target/release/curlew" \
		$(CARGO) test --package curlew-integration --test soak -- --nocapture
	CURLEW_SOAK=$${CURLEW_SOAK:-600} CURLEW_BIN="$$PWD/target/release/curlew" \
		$(CARGO) test --package curlew-integration --test cluster -- --ignored random_faults --nocapture
	CURLEW_SOAK=$${CURLEW_SOAK:-600} CURLEW_BIN="$$PWD/target/release/curlew" \
		$(CARGO) test --package curlew-integration --test dashboard -- load:: --nocapture
	CURLEW_KILLS=$${CURLEW_KILLS:-100} CURLEW_BIN="$$PWD/target/release/curlew" \
		$(CARGO) test --package curlew-integration --test real -- embedded:: --show-output

fuzz: ## Run the property tests of all parsers of untrusted input with new cases (FUZZ_SECONDS=600)
	exec integration/fuzz

picture: ## Retake the README's screenshot of the dashboard, from `curlew demo`
	exec integration/picture

bench: ## Compare with Nchan, Flask, kcat, Kafka's tools and bare warp (BENCH=quick is shorter)
	exec integration/bench/run

release: ## Build static binaries for x86_64 and aarch64 in target/*-linux-musl/ship/
	rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
	$(CARGO) build --profile ship --bin curlew --target x86_64-unknown-linux-musl --target aarch64-unknown-linux-musl

dist: ## Build a release in target/dist: tarballs, an SBOM, checksums, and the files of the image
	rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
	exec integration/ship/dist

clean: ## Remove build output (Kafka and the clients stay in their cache directory)
	$(CARGO) clean
