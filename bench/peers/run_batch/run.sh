python batch.py ask
python -m vllm.entrypoints.openai.run_batch -i requests.jsonl -o replies.jsonl $ENGINE_OPTIONS $ENGINE_METRICS
python batch.py vote
