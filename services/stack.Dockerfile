# Trainer and server, on one stack so that they cannot differ in their versions.
# Built from the project's root: docker build -f services/stack.Dockerfile --build-arg STACK=cpu --target inference .
FROM python:3.11-slim-bookworm AS stack
ARG STACK=cu12
# gcc and g++ compile Triton's and the CPU engine's kernels at start; libnuma is the CPU engine's
RUN apt-get update -q \
    && apt-get install -yq --no-install-recommends gcc g++ libc6-dev libnuma1 \
    && rm -rf /var/lib/apt/lists/*
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy
RUN python -m venv /opt/quorum && pip install --no-cache-dir uv==0.13.9
COPY requirements/${STACK}.txt requirements.txt
# The CPU build of torch comes from wherever pip looks already, else from PyTorch's own index.
RUN --mount=type=cache,target=/var/cache/uv \
    export UV_FIND_LINKS="$PIP_FIND_LINKS" VIRTUAL_ENV=/opt/quorum; \
    uv pip install --no-deps -r requirements.txt \
    || { [ "$STACK" = cpu ] && uv pip install --no-deps --torch-backend cpu -r requirements.txt; }
RUN useradd --uid 10001 --user-group --create-home quorum \
    && install -d -o quorum -g quorum /models /runs /cache /hub
ENV PATH=/opt/quorum/bin:$PATH PYTHONUNBUFFERED=1 MODELS_DIR=/models RUNS_DIR=/runs HF_HOME=/hub \
    VLLM_CACHE_ROOT=/cache/vllm TORCHINDUCTOR_CACHE_DIR=/cache/inductor TRITON_CACHE_DIR=/cache/triton \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app
COPY contract contract

FROM stack AS trainer
LABEL org.opencontainers.image.title="quorum-trainer" org.opencontainers.image.licenses="Apache-2.0"
COPY services/trainer services/trainer
RUN VIRTUAL_ENV=/opt/quorum uv pip install --no-cache --no-deps --no-build-isolation ./contract ./services/trainer
COPY examples examples
USER 10001
CMD ["python", "-m", "trainer", "run", "--recipe", "services/trainer/recipes/qwen2-7b-24gb.toml"]

FROM stack AS inference
LABEL org.opencontainers.image.title="quorum-inference" org.opencontainers.image.licenses="Apache-2.0"
COPY services/inference services/inference
RUN VIRTUAL_ENV=/opt/quorum uv pip install --no-cache --no-deps --no-build-isolation ./contract ./services/inference
ENV INFERENCE_HOST=0.0.0.0
USER 10001
CMD ["python", "-m", "inference"]
