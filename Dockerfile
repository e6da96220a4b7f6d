# Loupe with CUDA, as one non-root process on port 8000.
#
#   docker build -t loupe .
#   docker run --gpus all -p 8000:8000 -v loupe:/var/lib/loupe -e LOUPE_PASSWORD=... loupe
#
# On a machine without a GPU the same image works on the CPU, slowly. For RunPod: CMD ["/opt/loupe/runpod_start.sh"].
# torch's wheels bring their own CUDA libraries; the base image adds only what the driver needs to be found.
FROM nvidia/cuda:12.8.1-base-ubuntu24.04

RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv binutils tini ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /var/lib/loupe --shell /usr/sbin/nologin loupe \
 && chmod 700 /var/lib/loupe \
 && python3 -m venv /opt/venv

ENV PATH=/opt/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 HF_HUB_DISABLE_TELEMETRY=1 \
    LOUPE_HOME=/var/lib/loupe LOUPE_HOST=0.0.0.0 LOUPE_PORT=8000

# What changes least comes first: the dependencies are one layer, the code and the starter another.
WORKDIR /opt/loupe
COPY requirements.lock pyproject.toml README.md ./
RUN mkdir loupe && touch loupe/__init__.py \
 && pip install --constraint requirements.lock ".[cuda]" \
 && pip uninstall -y loupe-lab && rm -rf loupe build
COPY assets ./assets
COPY loupe ./loupe
COPY runpod_start.sh ./
RUN pip install --no-deps --editable .

USER loupe
VOLUME /var/lib/loupe
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['LOUPE_PORT']}/health/live\", timeout=4)"]
ENTRYPOINT ["tini", "--"]
CMD ["loupe", "serve"]
