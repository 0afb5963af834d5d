// Sets the chosen theme before the first paint; therefore not a module. The button is in main.js.
try {
  const chosen = localStorage.getItem("offhook.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is forbidden here: the system's theme it is.
}
