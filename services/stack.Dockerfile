# Trainer and server of one stack. Build it from the project's root:
#   docker build -f services/stack.Dockerfile --build-arg STACK=cpu --target inference .
FROM python:3.11-slim-bookworm AS base
COPY certificates /certificates
RUN find /certificates -name "*.crt" -exec cat {} + >> /etc/ssl/certs/ca-certificates.crt
# gcc and g++ compile kernels of Triton and the CPU engine at start; the CPU engine needs libnuma
RUN apt-get update -q \
    && apt-get install -yq --no-install-recommends gcc g++ libc6-dev libnuma1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home quorum \
    && install -d -o quorum -g quorum /models /runs /cache /cache/home /hub
# /tmp is mounted noexec. So compiled code that must be loaded goes under /cache, a volume, and so does HOME.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PATH=/opt/quorum/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp \
    HOME=/cache/home XDG_CACHE_HOME=/cache TRITON_HOME=/cache TRITON_CACHE_DIR=/cache/triton \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor TORCH_EXTENSIONS_DIR=/cache/extensions \
    MODELS_DIR=/models NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app

FROM base AS build
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    VIRTUAL_ENV=/opt/quorum
RUN python -m venv --without-pip /opt/quorum && pip install --no-cache-dir uv==0.13.9
ARG STACK=cu12
COPY services/install /usr/local/bin/install-pinned

FROM build AS build-trainer
COPY requirements/${STACK}-trainer.txt requirements.txt
RUN --mount=type=cache,target=/var/cache/uv install-pinned requirements.txt
COPY contract contract
COPY services/trainer services/trainer
RUN --mount=type=cache,target=/var/cache/uv install-pinned ./contract ./services/trainer

FROM build AS build-inference
COPY requirements/${STACK}-server.txt requirements.txt
RUN --mount=type=cache,target=/var/cache/uv install-pinned requirements.txt
COPY contract contract
COPY services/inference services/inference
RUN --mount=type=cache,target=/var/cache/uv install-pinned ./contract ./services/inference

FROM base AS trainer
LABEL org.opencontainers.image.title="quorum-trainer" \
      org.opencontainers.image.description="Fine-tunes, merges, verifies and publishes a model." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-trainer /opt/quorum /opt/quorum
COPY services/trainer/recipes services/trainer/recipes
COPY examples examples
ARG STACK=cu12
ENV STACK=${STACK} RUNS_DIR=/runs HF_HOME=/hub MODELSCOPE_CACHE=/hub/modelscope
USER 10001:10001
CMD ["python", "-m", "trainer", "run", "--recipe", "services/trainer/recipes/qwen2-7b-24gb.toml"]

FROM base AS inference
LABEL org.opencontainers.image.title="quorum-inference" \
      org.opencontainers.image.description="Serves the published model by vLLM, checked." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-inference /opt/quorum /opt/quorum
ARG STACK=cu12
ENV STACK=${STACK} INFERENCE_HOST=0.0.0.0 HF_HOME=/cache/hub \
    VLLM_CACHE_ROOT=/cache/vllm VLLM_CONFIG_ROOT=/cache/vllm-config
USER 10001:10001
CMD ["python", "-m", "inference"]
