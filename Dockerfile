# The image that `make image` makes, for those who build theirs with Docker, Podman or buildah: run
# `make image` first, which lays out its files, then `docker build .`
FROM scratch
COPY target/image/root/ /
USER 65532:65532
WORKDIR /
ENV PATH=/
EXPOSE 8080/tcp
ENTRYPOINT ["/trellis"]
CMD ["run"]
LABEL org.opencontainers.image.title="Trellis" \
      org.opencontainers.image.description="Runs Open Application Model Applications on wasmCloud lattices" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
