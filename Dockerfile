# The production image: one binary, the XGBoost library beside it, no shell tools added.
#   docker build -t pumphouse .

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY scripts/xgboost.sh scripts/xgboost.sh
RUN PUMPHOUSE_TOOLS=/tools scripts/xgboost.sh
COPY . .
# The build folder is a cache of the builder, so the binary is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build \
    CARGO_TARGET_DIR=/build cargo build --locked --release --bin pumphouse \
    && cp /build/release/pumphouse /pumphouse

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/pumphouse --create-home pumphouse
COPY --from=build /pumphouse /usr/local/bin/pumphouse
COPY --from=build /tools/xgboost /usr/local/bin/xgboost
USER pumphouse
WORKDIR /var/lib/pumphouse
# The write-ahead log: acknowledged messages that are not in the lake yet.
VOLUME /var/lib/pumphouse
ENV PUMPHOUSE_DATA_DIR=/var/lib/pumphouse/node
EXPOSE 8080 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD curl --fail --silent --output /dev/null http://127.0.0.1:8080/health
ENTRYPOINT ["pumphouse"]
CMD ["serve"]
