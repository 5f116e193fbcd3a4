# The public kind node image with another containerd. BASE is that image; its own configuration is a version 2 file,
# which containerd 1.x and 2.x both read.
ARG BASE
FROM ${BASE} AS worker
ARG CONTAINERD
COPY containerd-${CONTAINERD}/ /usr/local/bin/
# A 1.x containerd does not open the metadata of a 2.x one; the images are pulled again.
RUN case "${CONTAINERD}" in 1.*) rm -rf /var/lib/containerd ;; esac

FROM ${BASE} AS control-plane
