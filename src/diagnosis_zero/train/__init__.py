"""Training by GRPO and its kin: the readable loop and the pure functions it is made of."""
