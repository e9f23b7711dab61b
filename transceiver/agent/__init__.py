"""The offline agent: an ordinary Realtime service that hears, answers and speaks by itself."""
