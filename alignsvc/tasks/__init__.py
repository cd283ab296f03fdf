"""What a worker runs: read, compute, write, leave a receipt. No decisions about astronomy."""
