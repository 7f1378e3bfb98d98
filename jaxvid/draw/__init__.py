"""Drawing on uint8 (h, w, 3) pictures and in SVG: text, sheets of clips, plots, and HTML pages."""
