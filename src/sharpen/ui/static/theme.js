// Sets the chosen theme before anything is painted.
"use strict";
const chosen = localStorage.getItem("sharpen-theme");
if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
