/*
 * Light, dark, or as the system has it: the choice is kept, and the page hears of changes by the event
 * "lockstep-theme". Stands in the head, so that the page doesn't flash.
 */
(() => {
  const KEY = "lockstep-theme";
  const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };
  const NEXT = { auto: "light", light: "dark", dark: "auto" };
  const root = document.documentElement;

  const stored = () => {
    try {
      return globalThis.localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off: the system's choice it is
    }
  };

  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.querySelector("[data-theme-name]").textContent = NAMES[theme];
      const system = theme === "auto" ? " (as the system has it)" : "";
      button.setAttribute("aria-label", `Theme: ${NAMES[theme]}${system}; switch`);
      button.title = `Theme: ${NAMES[theme]}${system}`;
    }
    document.dispatchEvent(new Event("lockstep-theme"));
  };

  let theme = Object.hasOwn(NAMES, stored() ?? "") ? stored() : "auto";
  show(theme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(theme));
  document.addEventListener("DOMContentLoaded", () => {
    show(theme);
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.addEventListener("click", () => {
        theme = NEXT[theme];
        try {
          globalThis.localStorage.setItem(KEY, theme);
        } catch {
          // it holds for this page only
        }
        show(theme);
      });
    }
  });
  // Paper is white: canvases are drawn anew for it.
  globalThis.addEventListener("beforeprint", () => show("light"));
  globalThis.addEventListener("afterprint", () => show(theme));
})();
