# syntax=docker/dockerfile:1
# The training image: torch, transformers and peft, for 'parlance train' and for building models that need an export.
#   docker build -f deploy/train.Dockerfile -t parlance-train:0.1.0 .
#   docker run --rm -v "$PWD/models:/work/models" -v "$PWD/data:/work/data" parlance-train:0.1.0 \
#     train models/fin-sentiment --data-root data
# TORCH chooses the build of torch; on a machine without a GPU the CPU build is a tenth of the size.
FROM python:3.11-slim
ARG TORCH=torch==2.13.0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python -m venv /opt/parlance \
 && /opt/parlance/bin/pip install "${TORCH}"
COPY requirements requirements
RUN /opt/parlance/bin/pip install -r requirements/serve.txt -r requirements/dev.txt
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY plugins plugins
COPY models models
RUN /opt/parlance/bin/pip install --no-deps --no-build-isolation . \
 && groupadd --system --gid 10001 parlance \
 && useradd --system --uid 10001 --gid parlance --home-dir /work --create-home parlance
ENV PATH=/opt/parlance/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    PARLANCE_MODELS__CACHE=/work/cache
USER 10001:10001
WORKDIR /work
# A program that ends, not a server: nothing to ask for its health.
HEALTHCHECK NONE
ENTRYPOINT ["parlance"]
CMD ["train", "--help"]
