"""One file a launch script: plain arguments in, `result.json` out."""
