# An image with wqmaster in the conda environment of environment.yml:
#   docker build -t wqmaster . && docker run -it --user "$(id -u):$(id -g)" -v "$PWD":/data wqmaster
FROM mambaorg/micromamba:2.6.1

COPY --chown=$MAMBA_USER:$MAMBA_USER environment.yml /tmp/environment.yml
RUN micromamba install -y -n base -f /tmp/environment.yml \
 && micromamba clean --all --yes

COPY --chown=$MAMBA_USER:$MAMBA_USER . /opt/wqmaster
ARG MAMBA_DOCKERFILE_ACTIVATE=1
# All dependencies are in environment.yml, so pip installs nothing else.
RUN pip install --no-cache-dir --no-deps /opt/wqmaster

# A user with the host's user id has no home folder in the image.
ENV HOME=/tmp
WORKDIR /data
CMD ["bash"]
