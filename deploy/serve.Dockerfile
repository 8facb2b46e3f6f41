# syntax=docker/dockerfile:1
# The serving image: no torch, no transformers, the default models built in. Build it in the project's root:
#   docker build -f deploy/serve.Dockerfile -t parlance:0.1.0 .
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/serve.txt requirements/
RUN python -m venv /opt/parlance \
 && /opt/parlance/bin/pip install -r requirements/serve.txt "redis>=5.2"
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY plugins plugins
COPY models models
RUN /opt/parlance/bin/pip install hatchling \
 && /opt/parlance/bin/pip install --no-deps --no-build-isolation . \
 && /opt/parlance/bin/pip uninstall --yes hatchling
ENV PARLANCE_MODELS__CACHE=/opt/models HF_HUB_OFFLINE=1
WORKDIR /tmp
RUN /opt/parlance/bin/parlance models build \
 && /opt/parlance/bin/parlance models verify \
 && mkdir -p /opt/models/choices

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Parlance" \
      org.opencontainers.image.description="A plugin-based NLP application server: the slim serving image." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 parlance \
 && useradd --system --uid 10001 --gid parlance --home-dir /var/lib/parlance --create-home parlance
COPY --from=build /opt/parlance /opt/parlance
# The engine keeps its choice of runner beside the models, so the folder belongs to the user of the server.
COPY --from=build --chown=10001:10001 /opt/models /opt/models
ENV PATH=/opt/parlance/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    PARLANCE_SERVER__HOST=0.0.0.0 \
    PARLANCE_MODELS__CACHE=/opt/models \
    PARLANCE_DATABASE__URL=sqlite:////var/lib/parlance/parlance.sqlite \
    PARLANCE_LOG__FORMAT=json
USER 10001:10001
WORKDIR /var/lib/parlance
VOLUME /var/lib/parlance
EXPOSE 8000
# Listening on 0.0.0.0 needs an API key: run the image with 'keys create NAME --scope …' before the first start.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["parlance"]
CMD ["serve", "--no-build"]
