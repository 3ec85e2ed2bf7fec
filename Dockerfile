# One static binary in an empty image: make dist && docker build -t curlew . (BuildKit, for TARGETARCH), then
# docker run --read-only -p 8080:8080 -v curlew:/data -v ./etc:/etc/curlew:ro -e CURLEW_AUTH_FILE=/etc/curlew/auth.toml curlew
# The folder is mounted, not auth.toml by itself: editors put a new file in the place of the old one, and a mount of a file stays
# with the old one, in which a key that was taken out still holds.
# On a network it asks for keys (--auth-file), or for CURLEW_INSECURE_NO_AUTH=true where that is meant.
FROM scratch
ARG TARGETARCH
COPY target/dist/bin/${TARGETARCH}/curlew /curlew
COPY LICENSE /LICENSE
# A folder that belongs to the user below, for what is kept without a Kafka.
COPY --chown=65532:65532 integration/ship/data /data
# They win over a settings file (CURLEW_CONFIG).
ENV CURLEW_LISTEN=0.0.0.0:8080
ENV CURLEW_DATA=/data/curlew
USER 65532:65532
VOLUME /data
EXPOSE 8080
# `docker stop` waits 10 s, and kills what still drains: docker run --stop-timeout 30, or terminationGracePeriodSeconds in
# Kubernetes, must be longer than CURLEW_SHUTDOWN_DELAY and CURLEW_DRAIN_TIMEOUT together.
HEALTHCHECK --interval=10s --timeout=6s --start-period=1h CMD ["/curlew", "health"]
ENTRYPOINT ["/curlew"]
CMD ["serve"]
