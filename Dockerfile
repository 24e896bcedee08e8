# Debian 13 with wqmaster: docker build -t wqmaster . && docker run -it -v "$PWD":/data wqmaster
FROM debian:trixie-slim

COPY environment/debian-packages.txt /tmp/debian-packages.txt
RUN apt-get update \
 && grep -v '^#' /tmp/debian-packages.txt \
    | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /tmp/debian-packages.txt

COPY . /opt/wqmaster
RUN python3 -m venv --system-site-packages /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir "/opt/wqmaster[all]"
ENV PATH=/opt/venv/bin:$PATH LC_ALL=C.UTF-8

WORKDIR /data
CMD ["bash"]
