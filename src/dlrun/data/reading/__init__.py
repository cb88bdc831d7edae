"""Files: tables, columns, arrays, images, downloads, and the cache of what has been decoded."""
