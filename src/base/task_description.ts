/**
 * The descriptions of tasks.
 *
 * @module
 */
import project from "../../deno.json" with { type: "json" };

/** Returns the description of a task of deno.json; empty for tasks that it doesn't have. */
export function taskDescription(name: string): string {
  const tasks: Readonly<Record<string, { readonly description: string }>> = project.tasks;
  return Object.hasOwn(tasks, name) ? tasks[name].description : "";
}
