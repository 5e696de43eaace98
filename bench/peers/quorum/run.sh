quorum submit problems.jsonl --seed 1 $EARLY_STOP --idempotency-key mine --wait --out answers.jsonl
