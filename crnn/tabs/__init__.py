"""The tabs of the page, one file each, and every text that the page shows."""
