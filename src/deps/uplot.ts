/**
 * uPlot, which draws the charts of pages, as text.
 *
 * @module
 */
import licence from "npm:/uplot@1.6.32/LICENSE" with { type: "text" };
import script from "npm:/uplot@1.6.32/dist/uPlot.iife.min.js" with { type: "text" };
import style from "npm:/uplot@1.6.32/dist/uPlot.min.css" with { type: "text" };

const NOTICE = `/*! uPlot (github.com/leeoniya/uPlot)\n${licence.trim()}\n*/\n`;

/** Makes the global `uPlot`; begins with the licence, which must go along with it. */
export const UPLOT_SCRIPT: string = NOTICE + script;
/** Begins with the licence. */
export const UPLOT_STYLE: string = NOTICE + style;
