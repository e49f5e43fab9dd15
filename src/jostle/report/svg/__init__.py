"""Figures as SVG elements, drawn by hand: they scale, follow light and dark, and are pictures without scripts too."""
