// The button that chooses between the system's theme, light and dark; theme.js restores the choice.

const KEY = "offhook.theme";
const CHOICES = ["auto", "light", "dark"];

export function startThemeButton(button, label, onChange) {
  const root = document.documentElement;
  const show = () => {
    label.textContent = `Theme: ${root.dataset.theme ?? "auto"}`;
  };
  button.addEventListener("click", () => {
    const next = CHOICES[(CHOICES.indexOf(root.dataset.theme ?? "auto") + 1) % CHOICES.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    remember(next);
    show();
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  show();
}

function remember(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // Storage is forbidden here: the choice lasts as long as the page.
  }
}
