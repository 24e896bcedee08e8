"""What a campaign asks for, resolved; what comes after a failure; and the judgement of results."""
