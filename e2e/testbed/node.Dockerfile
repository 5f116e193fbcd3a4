# A kind node built from packages: BASE is a Debian root with systemd and Debian's containerd, everything else comes
# from the build context that node-images.sh lays out.
ARG BASE
FROM ${BASE} AS common
ENV container=docker
COPY bin/ /usr/bin/
COPY entrypoint kubelet-cgroups containerd-cgroups /usr/local/bin/
COPY kubelet.service slipway-images.service /etc/systemd/system/
COPY containerd-cgroups.conf /etc/systemd/system/containerd.service.d/10-cgroups.conf
COPY version /kind/version
COPY images/worker.tar /kind/images/worker.tar
# Units that make sense on a machine only are taken away: they would fail, or wait for devices that never come.
RUN mkdir -p /kind/manifests /etc/kubernetes/manifests /opt/cni \
 && ln -s /usr/lib/cni /opt/cni/bin \
 && rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
      /lib/systemd/system/sockets.target.wants/*initctl* \
 && echo ReadKMsg=no >> /etc/systemd/journald.conf \
 && systemctl enable containerd kubelet slipway-images \
 && systemctl mask systemd-binfmt.service getty.target console-getty.service systemd-logind.service
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]

FROM common AS worker
ARG CONTAINERD
COPY containerd-${CONTAINERD}/ /usr/bin/
COPY containerd-${CONTAINERD}.toml /etc/containerd/config.toml

FROM worker AS control-plane
COPY images/control-plane.tar /kind/images/
