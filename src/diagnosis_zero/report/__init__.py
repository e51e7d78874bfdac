"""One self-contained HTML file from run folders. Reads files only; needs neither torch nor a network."""
