"""Model calls: aliases, retries, circuit breakers, fallback, deadlines."""

from iskra.llm.circuit_breaker import CircuitBreaker, CircuitState
from iskra.llm.router import LLMRouter

__all__ = ["CircuitBreaker", "CircuitState", "LLMRouter"]
