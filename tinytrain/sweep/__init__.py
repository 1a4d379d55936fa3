"""Many runs of one config: which to make, who makes which, and what came of them."""
