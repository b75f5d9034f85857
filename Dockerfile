# Attendant in a container. CPU by default; the GPU build is `ACCELERATOR=cuda` (see docker-compose.gpu.yml).
#
#   docker build -t attendant .
#   docker build -t attendant:cuda --build-arg ACCELERATOR=cuda .
#
# Plain Dockerfile syntax, so that the classic builder and BuildKit both take it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# What Attendant needs, in a virtual environment. A layer of its own, which a change of the code leaves alone.
FROM ${PYTHON_IMAGE} AS dependencies
# The torch wheel of PyPI is linked against CUDA and cannot be imported without some of its libraries. `cpu` leaves out what
# is opened only on a GPU: 6.4 GB become 3.9 GB.
ARG ACCELERATOR=cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# pip and the build backend live in an environment of their own and don't get into the image.
COPY requirements/build.txt requirements/run.txt requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements/build.txt \
 && python3 -m venv --without-pip /opt/attendant
RUN case "$ACCELERATOR" in \
      cpu) skip='^(cuda-bindings|cuda-pathfinder|nvidia-cuda-cccl|nvidia-cusolver|nvidia-nvtx|triton)==' ;; \
      cuda) skip='^$' ;; \
      *) echo "ACCELERATOR is cpu or cuda, not '$ACCELERATOR'" >&2; exit 2 ;; \
    esac \
 && awk -v skip="$skip" '/^[a-z]/ { keep = $0 !~ skip } keep' requirements/run.txt > /tmp/run.txt \
 && /opt/build/bin/pip --python /opt/attendant/bin/python install \
      --require-hashes --no-deps --only-binary :all: -r /tmp/run.txt \
 && cd /opt/attendant/lib/python3*/site-packages \
 && echo /opt/application > application.pth \
 && if [ "$ACCELERATOR" = cpu ]; then \
      rm -rf nvidia/cudnn/lib/libcudnn_* nvidia/nvshmem/lib/nvshmem_* nvidia/cu13/lib/libnvperf* \
             nvidia/*/include nvidia/cu13/cccl torch/include \
   && find nvidia '(' -name '*.a' -o -name '*.bc' ')' -delete; \
    fi

# Attendant itself, and the proof that it and its numerical libraries can be loaded: a wheel that moves its libraries shall
# fail here and not in the hospital.
FROM dependencies AS application
COPY pyproject.toml README.md LICENSE* ./
COPY streams streams
COPY models models
COPY monitor monitor
COPY dashboards dashboards
RUN /opt/build/bin/hatchling build -t wheel -d /tmp/dist \
 && /opt/build/bin/pip --python /opt/attendant/bin/python install \
      --no-deps --no-index --target /opt/application /tmp/dist/*.whl
RUN /opt/application/bin/attendant --version \
 && /opt/attendant/bin/python -c "import torch; x = torch.randn(2, 3, 4, 8, requires_grad=True); \
torch.nn.functional.scaled_dot_product_attention(x, x, x).sum().backward(); torch.linalg.svd(x[0, 0]); torch.fft.rfft(x)"

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Attendant" \
      org.opencontainers.image.description="Real-time anomaly monitor for medical devices" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 attendant \
 && useradd --uid 10001 --gid attendant --no-create-home --home-dir /var/lib/attendant --shell /usr/sbin/nologin attendant \
 && install -d -o attendant -g attendant -m 0750 /var/lib/attendant
COPY --from=dependencies /opt/attendant /opt/attendant
COPY --from=application /opt/application /opt/application
ENV PATH=/opt/application/bin:/opt/attendant/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ATTENDANT_WEB__HOST=0.0.0.0 \
    ATTENDANT_LOG__FORMAT=json
# By number, so that Kubernetes' runAsNonRoot can check it.
USER 10001:10001
WORKDIR /var/lib/attendant
VOLUME ["/var/lib/attendant"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('ATTENDANT_WEB__PORT', '8080') + '/healthz', timeout=4)"]
ENTRYPOINT ["attendant"]
CMD ["run"]
