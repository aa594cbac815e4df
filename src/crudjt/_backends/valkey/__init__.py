"""A store on a Valkey or Redis server or cluster."""
