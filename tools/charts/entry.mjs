// What Vega-Lite specs need, and no more: maps, force layouts and word clouds stay out of the bundle.
import { transforms } from "vega-dataflow";
import * as general from "vega-transforms";
import * as view from "vega-view-transforms";
import * as encode from "vega-encode";

Object.assign(transforms, general, view, encode);

export { parse } from "vega-parser";
export { View } from "vega-view";
export { compile } from "vega-lite";
// Expressions are walked through, not turned into code: a page may forbid eval.
export { expressionInterpreter } from "vega-interpreter";
