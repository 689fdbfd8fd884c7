// Makes an element with a class and a text. The text is only ever set as textContent, so nothing in it can run.
"use strict";
const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
