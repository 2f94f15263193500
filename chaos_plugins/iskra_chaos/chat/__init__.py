"""Operations asked for in plain words, in any chat client."""
