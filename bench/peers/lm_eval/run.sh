lm-eval run --model local-chat-completions \
  --model_args "model=$MODEL,base_url=$SERVER/chat/completions,num_concurrent=128" \
  --tasks problems --include_path . --apply_chat_template --log_samples --output_path log
python votes.py
