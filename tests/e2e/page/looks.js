// How well what is shown can be read. Evaluates to a list of what falls short.
(() => {
  const TEXT = 4.5, LARGE = 3, EDGE = 3; // WCAG 2.2, 1.4.3 and 1.4.11
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((x, i) => x * a + below[i] * (1 - a));
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const found = [];
  let looked = 0;
  const hold = (element, what, colour, below, least) => {
    looked += 1;
    const is = ratio(over(rgba(colour), below), below);
    if (is < least) found.push(`${element.id || element.tagName} ${what}: ${is.toFixed(2)}, not ${least}`);
  };
  for (const element of document.body.querySelectorAll("*")) {
    if (!visible(element)) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const words = [...element.childNodes].some((each) => each.nodeType === Node.TEXT_NODE && each.data.trim());
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (words || element.matches("input, select")) hold(element, "text", style.color, below, large ? LARGE : TEXT);
    if (element.matches("input[type=text], input[type=password]")) {
      hold(element, "placeholder", getComputedStyle(element, "::placeholder").color, below, TEXT);
    }
    if (element.matches("input[type=text], input[type=password], select, .plain, .switch span") && !element.disabled) {
      hold(element, "edge", style.borderTopColor, ground(element.parentElement), EDGE);
    }
    if (element.matches("button.call")) hold(element, "face", style.backgroundColor, ground(element.parentElement), EDGE);
    if (element.matches(".bar, .steps i")) hold(element, "fill", getComputedStyle(element, "::before").backgroundColor, below, EDGE);
  }
  return { found, looked };
})()
