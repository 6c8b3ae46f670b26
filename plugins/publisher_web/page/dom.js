// The page's elements. Text goes in as text only: nothing is ever read as HTML.

/** Returns the element of this id. */
export const byId = (id) => document.getElementById(id);

/** Returns a new element with properties and children; texts among them are text. */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Sets an element's text, if it is another one: what is as it was is not laid out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an element's title, or none when it would be empty. */
export function setTitle(element, title) {
  if (!title) element.removeAttribute("title");
  else if (element.title !== title) element.title = title;
}

/** Returns a list of texts as elements that stay whole, with commas between them for people who listen. */
export function pieces(texts, className = "piece") {
  return texts.flatMap((text, place) => [
    ...(place ? [make("span", { className: "comma" }, ", ")] : []),
    make("span", { className }, text),
  ]);
}
