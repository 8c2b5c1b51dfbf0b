# The OpenTelemetry collector with a shell beside it: its own image holds nothing that a health check could run.
FROM otel/opentelemetry-collector-contrib:0.159.0 AS collector

FROM alpine:3.23.3
COPY --from=collector /otelcol-contrib /usr/local/bin/otelcol-contrib
USER 10001
ENTRYPOINT ["/usr/local/bin/otelcol-contrib"]
CMD ["--config=/etc/otelcol/collector.yaml"]
