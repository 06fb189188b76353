"""The handshake: its table, the coroutine around it, the threads, who begins it. No HTTP."""
