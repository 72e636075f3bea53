"""The colours of the report's pictures and charts: legible to the colour-blind, the important ones also in grey."""

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
"""From the palette of Okabe and Ito, which the colour-blind tell apart; where three suffice all else is grey."""

SKY, AMBER, PINK = "#56B4E9", "#E69F00", "#CC79A7"
"""More of the same palette."""

INK, SLATE, GREY, FAINT = "#24292F", "#57606A", "#BCC2C9", "#E6E9ED"
