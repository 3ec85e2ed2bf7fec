# A static binary in an empty image. Build it with `make dist && docker build -t curlew .` (BuildKit sets TARGETARCH),
# and run it with
# docker run --read-only -p 8080:8080 -v curlew:/data -v ./etc:/etc/curlew:ro -e CURLEW_AUTH_FILE=/etc/curlew/auth.toml curlew
# The directory is mounted instead of auth.toml, because editors replace a file instead of writing to it. A mounted file
# would remain the old one, in which a removed key is still valid.
# On a network, Curlew requires keys (--auth-file) or CURLEW_INSECURE_NO_AUTH=true.
FROM scratch
ARG TARGETARCH
COPY target/dist/bin/${TARGETARCH}/curlew /curlew
COPY LICENSE /LICENSE
# A directory for the embedded log, owned by the user below.
COPY --chown=65532:65532 integration/ship/data /data
# These variables override a settings file (CURLEW_CONFIG).
ENV CURLEW_LISTEN=0.0.0.0:8080
ENV CURLEW_DATA=/data/curlew
USER 65532:65532
VOLUME /data
EXPOSE 8080
# `docker stop` kills the container after 10 s. The timeout (docker run --stop-timeout 30, or
# terminationGracePeriodSeconds in Kubernetes) must exceed CURLEW_SHUTDOWN_DELAY and CURLEW_DRAIN_TIMEOUT together.
HEALTHCHECK --interval=10s --timeout=6s --start-period=1h CMD ["/curlew", "health"]
ENTRYPOINT ["/curlew"]
CMD ["serve"]
