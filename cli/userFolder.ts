/** The folder that the user's relative paths refer to. npm changes the working folder to that of the package and sets INIT_CWD. */
export function userFolder(): string {
  return process.env.INIT_CWD ?? process.cwd();
}
