//! `/api/doctor`: what the server finds when it examines itself.

use axum::{Json, extract::State};

use crate::{app::App, doctor::Report};

pub(crate) async fn show(State(app): State<App>) -> Json<Report> {
    Json(app.doctor.examine().await)
}
