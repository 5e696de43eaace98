LOCAL_API_KEY=none python answer.py
